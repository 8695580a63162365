package cli

type rulesCmd struct {
	Check     rulesCheckCmd     `cmd:"" help:"Read and compile rules, and say what is refused and why. Needs no server."`
	Test      rulesTestCmd      `cmd:"" help:"Run rules over exported event logs. Needs no server."`
	List      rulesListCmd      `cmd:"" default:"withargs" help:"List the rules of the packs in force, with their hits."`
	Show      rulesShowCmd      `cmd:"" help:"Show a rule with its text, changes and hits."`
	Import    rulesImportCmd    `cmd:"" help:"Take a version of a pack of rules into use."`
	Enable    rulesEnableCmd    `cmd:"" help:"Turn rules on."`
	Disable   rulesDisableCmd   `cmd:"" help:"Turn rules off."`
	Packs     rulesPacksCmd     `cmd:"" help:"List packs and versions, and what is in force."`
	Problems  rulesProblemsCmd  `cmd:"" help:"List what of a pack was refused, and why."`
	Use       rulesUseCmd       `cmd:"" help:"Put a version that was imported before in force."`
	Backfill  rulesBackfillCmd  `cmd:"" help:"Run rules over what was received before they were on."`
	Backfills rulesBackfillsCmd `cmd:"" help:"List backfills; cancel one."`
}
