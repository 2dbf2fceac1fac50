//! An in-memory CRI server for tests, over a real unix socket.
