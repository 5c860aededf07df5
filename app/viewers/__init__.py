"""One file per inspection kind: how it is drawn and handled. A viewer knows no method."""
