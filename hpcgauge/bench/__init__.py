"""What every kernel costs on this machine, beside what the machine can do, and the formulas it is checked with."""
