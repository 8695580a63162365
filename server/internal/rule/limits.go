package rule

// Bounds on what a rule file may ask for. They are far above what the public
// rule sets use (largest: 60 KiB, 1,700 nodes, depth 7) and low enough that a
// hostile file costs milliseconds and megabytes.
const (
	maxFileBytes       = 1 << 20
	maxDocuments       = 512
	maxNodes           = 20_000 // per document, after aliases are expanded
	maxDepth           = 24
	maxPatternBytes    = 16 << 10
	maxExpansions      = 1024 // values that one value may become (windash, base64offset, expand)
	maxConditionTokens = 1024
	maxConditionDepth  = 64
	maxRegexpBytes     = 4 << 10
	maxRegexpInsts     = 20_000
	maxSources         = 50_000
	maxTotalBytes      = 256 << 20
	maxConditionNodes  = 20_000 // of one rule, after `of` patterns are expanded
	maxProgramNodes    = 50_000 // of one rule in one log source
	maxTotalNodes      = 4 << 20
	maxRuleIDs         = 256 // event ids by which one rule is grouped; with more it is tried on all
	maxGroups          = 50_000
)
