//! Every node, one answer: the program against a scripted API server and scripted agents behind its port-forward.

mod answers;
mod followed;
mod generated;
mod hostile;
mod rights;
mod server;
mod shop;
