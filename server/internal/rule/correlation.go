package rule

// Correlation is the correlation section of a rule.
type Correlation struct{}

func (c *compiler) parseCorrelation(d *document) error {
	return errAt(d.node, "correlations are not read yet")
}

func (c *compiler) linkCorrelations() {}

func (c *compiler) liveCorrelations([]*Rule) []*Rule { return nil }
