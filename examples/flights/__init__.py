"""A real model with real drift: air time of the flights that left New York in 2013."""
