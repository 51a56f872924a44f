"""`make real`: a published backbone measured in integers, and a multi-task network made of it that runs on photographs in RTL."""
