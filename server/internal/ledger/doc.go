// Package ledger owns the Merkle tree over all leaves: growing it, signing its
// checkpoints, proving things from it, and verifying everything that the
// database holds against it. It never makes a leaf, and never decides whether a
// fault that it finds is a crime.
package ledger
