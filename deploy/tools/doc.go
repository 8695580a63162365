// Package tools pins the programs that the build itself runs: generators and
// linters. It is a module of its own so that none of their dependencies enters
// the product's; but for the set-up of the linters it holds no code.
package tools
