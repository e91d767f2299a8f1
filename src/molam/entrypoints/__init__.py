"""Where processes begin: the command line, the web applications, the worker, the process tree."""
