// Package vault owns the keys under which payloads rest: one per host and
// month, wrapped by the installation's master key and kept outside of Postgres,
// so that deleting one erases what it sealed everywhere, in archives and in the
// database's backups too. It seals and opens; what is sealed, and when a key is
// to go, others decide.
package vault
