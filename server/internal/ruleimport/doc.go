// Package ruleimport reads packs of detection rules as people hand them in:
// archives and files of Sigma YAML become a RulePack, with every document that
// can be used, where it stands, and why each other one cannot. It reads bytes
// alone, within written bounds. Storing is postgres's; Import says in which order.
package ruleimport
