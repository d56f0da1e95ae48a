"""N organisations in one process: the federation, and whether it is worth it for each of them."""
