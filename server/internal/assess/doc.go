// Package assess brings facts and evaluation together: it loads what is known
// of hosts and asks evaluate how they stand, now or at any past moment. It
// owns no semantics and no SQL.
package assess
