// Package ca owns the certificate authority: the root that agents pin by its
// hash, the key that issues their certificates and the server's own, and the
// key that signs the ledger's checkpoints. It decides what a request must be to
// be granted and what a certificate must be to be believed. It never decides
// who may enrol and keeps no record of what it issued; that is the store's.
package ca
