// Package cli owns the commands of assayctl: they speak to a server over the
// console API and print what a person or a script reads. It decides nothing.
//
// Exit codes: 0 done; 1 the answer is bad news (a failed verification); 2 the
// call was wrong or could not be carried out.
package cli
