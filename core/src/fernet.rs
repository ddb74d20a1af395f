//! fernet
