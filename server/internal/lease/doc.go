// Package lease spreads the tasks that one server is enough for over all the
// servers on a database: each holds its share for a few seconds at a time and
// renews it, and what a dead or cut-off server held is taken over within seconds.
//
// It saves work and never guards a write. A server that was cut off may finish
// what it had begun after another has taken over; so whoever writes for a task
// compares what it found (a cursor's position, the tree's size and root, the
// newest run) in the same transaction, and one of the two fails.
package lease
