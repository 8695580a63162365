// Package consoleapi answers the console and assayctl: Connect handlers, one
// file per noun, behind one table of roles. It never decides a verdict and
// holds no SQL. Messages of the API end here.
package consoleapi
