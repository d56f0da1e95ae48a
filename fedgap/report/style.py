"""The style sheet of the report page: light, dark and print; no script and nothing from outside."""

_LIGHT = """
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --quiet: #57606a; --rule: #d8dde3; --accent: #0b5cad;
  --local: #57606a; --federated: #0072b2; --personalised: #b34d00; --pooled: #007a5a;
  --join: #0b6b3a; --neutral: #57606a; --stay-out: #a8321c; --too-little-data: #7a5b00;
"""

_DARK = """
  --page: #12151a; --card: #1b2027; --ink: #e8ebef; --quiet: #a9b2bc; --rule: #363e48; --accent: #7ab8f5;
  --local: #b7bec7; --federated: #56b4e9; --personalised: #f0a35e; --pooled: #3cc79c;
  --join: #5fd08f; --neutral: #b7bec7; --stay-out: #ff8f7a; --too-little-data: #e6c25a;
"""

_BASE = """
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
table { overflow-wrap: break-word; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 1.2rem; margin: 0 0 10px; }
h3 { font-size: 1rem; margin: 0 0 6px; }
p { margin: 0 0 10px; max-width: 46rem; }
a { color: var(--accent); }
sup { line-height: 0; font-size: .72em; margin-left: 2px; }
small, .quiet { color: var(--quiet); font-size: .86rem; font-weight: 400; }
section, details { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px;
  margin: 16px 0; }
details > summary { cursor: pointer; font-weight: 600; font-size: 1.05rem; }
details[open] > summary { margin-bottom: 12px; }
.answer p { font-size: 1.08rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin: 14px 0 0; }
.tile { border: 1px solid var(--rule); border-top: 4px solid var(--rule); border-radius: 8px; padding: 10px 12px; }
.tile.local { border-top-color: var(--local); } .tile.federated { border-top-color: var(--federated); }
.tile.personalised { border-top-color: var(--personalised); } .tile.pooled { border-top-color: var(--pooled); }
.tile strong { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile small { display: block; line-height: 1.35; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 24px; }
.pair > * { min-width: 0; }
.key { list-style: none; padding: 0; margin: 0 0 12px; font-size: .86rem; color: var(--quiet); }
.key b { color: var(--ink); }
ul, ol { margin: 0; padding-left: 1.4em; } li { margin: 3px 0; }
li:target { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
dl { display: grid; grid-template-columns: minmax(7em, auto) 1fr; gap: 4px 16px; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; }
code { font: .86em/1.4 ui-monospace, monospace; }
"""

_TABLES = """
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
caption { text-align: left; font-weight: 600; font-size: 1rem; padding-bottom: 8px; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px 5px 0; }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--rule); }
tbody { border-bottom: 1px solid var(--rule); }
tbody th, td.words { overflow-wrap: anywhere; } tbody th { font-weight: 600; min-width: 9em; max-width: 20em; }
td small, th small { display: block; font-size: .92em; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; } td.words { min-width: 8em; }
th:last-child, td:last-child { padding-right: 0; }
.box { overflow-x: auto; margin: 0 0 22px; } .box:last-child { margin-bottom: 0; }
.verdict { font-weight: 700; }
.verdict.join { color: var(--join); } .verdict.neutral { color: var(--neutral); }
.verdict.stay-out { color: var(--stay-out); } .verdict.too-little-data { color: var(--too-little-data); }
@media screen and (max-width: 700px) {
  tbody th { min-width: 7em; } .plain td.words { min-width: 7em; }
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stacked, .stacked caption, .stacked tbody, .stacked tr, .stacked th, .stacked td { display: block; }
  .stacked tbody { padding: 10px 0; } .stacked th, .stacked td { max-width: none; padding: 2px 0; }
  .stacked td { display: grid; grid-template-columns: 8.5em 1fr; gap: 10px; }
  .stacked td.number { text-align: left; } .stacked td.words { min-width: 0; }
  .stacked td::before { content: attr(data-label); color: var(--quiet); }
}
"""

_CHARTS = """
.chart { display: block; font: 12px system-ui, sans-serif; }
.chart text { fill: var(--ink); } .chart .name { font-size: 13px; font-weight: 600; }
.chart .tick { fill: var(--quiet); font-size: 11px; font-weight: 400; }
.chart .end { text-anchor: end; font-variant-numeric: tabular-nums; } .chart .middle { text-anchor: middle; }
.chart .model { font-size: 11.5px; } .chart .chosen { font-weight: 700; }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.chart .interval { stroke-width: 2; stroke-linecap: round; opacity: .75; }
.chart .local .interval { stroke: var(--local); } .chart .federated .interval { stroke: var(--federated); }
.chart .personalised .interval { stroke: var(--personalised); } .chart .pooled .interval { stroke: var(--pooled); }
.chart .local .mark > * { fill: var(--card); stroke: var(--local); stroke-width: 2; }
.chart .federated .mark > * { fill: var(--federated); } .chart .personalised .mark > * { fill: var(--personalised); }
.chart .pooled .mark > * { fill: var(--pooled); }
.chart .line { fill: none; stroke: var(--federated); stroke-width: 2; vector-effect: non-scaling-stroke; }
.chart .between { stroke: var(--federated); stroke-width: 2; opacity: .5; }
.chart .other { fill: var(--quiet); opacity: .35; }
.chart .ring { fill: none; stroke: var(--accent); stroke-width: 3; }
.chart .point { fill: var(--federated); stroke: var(--card); stroke-width: 1; }
"""

_PRINT = """
@page { margin: 14mm; }
@media print {
  body { background: #fff; font-size: 10.5pt; } main { max-width: none; padding: 0; }
  section, details { border: 0; border-top: 1px solid var(--rule); border-radius: 0; padding: 10px 0; margin: 8px 0; }
  .box { overflow: visible; } table { font-size: 8pt; } th, td { padding-right: 6px; }
  tbody, .tile, .trend, h2, h3, caption { break-inside: avoid; } h2, h3, caption, summary { break-after: avoid; }
  .tiles { grid-template-columns: repeat(5, 1fr); } a { color: inherit; text-decoration: none; }
}
"""

SHEET = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
{_BASE}{_TABLES}{_CHARTS}{_PRINT}
"""
