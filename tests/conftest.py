"""What all tests share: the same examples in every run of the property tests, and no time limit on a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("fedgap", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fedgap")
