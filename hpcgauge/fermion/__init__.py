"""The staggered operator, solvers, pseudofermion actions."""
