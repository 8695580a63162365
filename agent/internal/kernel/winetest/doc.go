// Package winetest owns the tests in which the agent's own program reads the kernel
// driver's own objects: both run under Wine, the driver over a double of the kernel,
// and a server on this side takes what the agent sends. It holds tests alone, behind
// the tag wine; make -C driver agent builds what they need and runs them.
package winetest
