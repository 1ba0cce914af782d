"""The demo: a real operator keeps a real model inside its loss SLO, in four acts."""
