// NNG
