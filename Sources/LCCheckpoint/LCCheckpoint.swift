// LCCheckpoint
