"""An encoder of sounds that learns from the tags of a catalogue."""
