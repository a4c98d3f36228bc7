"""The tests of Homeport, and the programs that they start."""
