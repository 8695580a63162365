package framework

import "go.yaml.in/yaml/v3"

// The shapes of the YAML files. Keys that are not here are errors.

type packFile struct {
	ID           string            `yaml:"id"`
	Version      string            `yaml:"version"`
	Title        string            `yaml:"title"`
	Requirements []requirementFile `yaml:"requirements"`
}

type requirementFile struct {
	ID         string   `yaml:"id"`
	Title      string   `yaml:"title"`
	Chapter    string   `yaml:"chapter"`
	Obligation string   `yaml:"obligation"`
	Ceiling    string   `yaml:"ceiling"`
	Checks     []string `yaml:"checks"`
}

type checkFile struct {
	ID            string            `yaml:"id"`
	Title         string            `yaml:"title"`
	Kind          string            `yaml:"kind"`
	Subject       string            `yaml:"subject"`
	Window        string            `yaml:"window"`
	Description   string            `yaml:"description"`
	Violation     string            `yaml:"violation"`
	Remedy        string            `yaml:"remedy"`
	MinimumGrade  string            `yaml:"minimum_grade"`
	Applies       string            `yaml:"applies"`
	NotApplicable string            `yaml:"not_applicable"`
	Imported      string            `yaml:"imported"`
	Parameters    []parameterFile   `yaml:"parameters"`
	Requires      []clauseFile      `yaml:"requires"`
	Selectors     []selectorFile    `yaml:"selectors"`
	ExplainedBy   []explanationFile `yaml:"explained_by"`

	Occurrence []occurrenceFile `yaml:"occurrence"`
	State      *stateFile       `yaml:"state"`
	Latest     *latestFile      `yaml:"latest"`
	Expect     *expectFile      `yaml:"expect"`
	List       *listFile        `yaml:"list"`
	Metric     *metricFile      `yaml:"metric"`
	Record     *recordFile      `yaml:"record"`
	Capability *capabilityFile  `yaml:"capability"`
}

type parameterFile struct {
	Name    string    `yaml:"name"`
	Type    string    `yaml:"type"`
	About   string    `yaml:"about"`
	Default yaml.Node `yaml:"default"`
}

type clauseFile struct {
	Name         string       `yaml:"name"`
	AtLeast      int          `yaml:"at_least"`
	MinimumGrade string       `yaml:"minimum_grade"`
	AnyOf        []sourceFile `yaml:"any_of"`
}

type sourceFile struct {
	Source       string   `yaml:"source"`
	Channel      string   `yaml:"channel"`
	Capabilities []string `yaml:"capabilities"`
}

type selectorFile struct {
	Name      string    `yaml:"name"`
	Title     string    `yaml:"title"`
	Logsource yaml.Node `yaml:"logsource"`
	Detection yaml.Node `yaml:"detection"`
	Keep      []string  `yaml:"keep"`
}

type signalFile struct {
	On   []string `yaml:"on"`
	When string   `yaml:"when"`
}

type occurrenceFile struct {
	Name         string       `yaml:"name"`
	On           []string     `yaml:"on"`
	When         string       `yaml:"when"`
	Title        string       `yaml:"title"`
	Key          []string     `yaml:"key"`
	Per          string       `yaml:"per"`
	ResolvesWhen *resolveFile `yaml:"resolves_when"`
}

type resolveFile struct {
	On   []string `yaml:"on"`
	When string   `yaml:"when"`
	Same []string `yaml:"same"`
}

type explanationFile struct {
	Of           []string `yaml:"of"`
	Near         []string `yaml:"near"`
	Before       string   `yaml:"before"`
	After        string   `yaml:"after"`
	ChangeWindow bool     `yaml:"change_window"`
}

type facetFile struct {
	Name  string       `yaml:"name"`
	Off   []signalFile `yaml:"off"`
	On    []signalFile `yaml:"on"`
	Proof bool         `yaml:"proof"`
	Title string       `yaml:"title"`
}

type stateFile struct {
	Of     string      `yaml:"of"`
	Facets []facetFile `yaml:"facets"`
	Fresh  string      `yaml:"fresh"`
	Title  string      `yaml:"title"`
}

type latestFile struct {
	Of        string       `yaml:"of"`
	New       []signalFile `yaml:"new"`
	Aged      []agedFile   `yaml:"aged"`
	Unchanged []signalFile `yaml:"unchanged"`
	Off       []signalFile `yaml:"off"`
	Limit     string       `yaml:"limit"`
	Fresh     string       `yaml:"fresh"`
	Title     string       `yaml:"title"`
}

type agedFile struct {
	On   []string `yaml:"on"`
	When string   `yaml:"when"`
	Age  string   `yaml:"age"`
}

type expectFile struct {
	Ask    []signalFile `yaml:"ask"`
	Answer []signalFile `yaml:"answer"`
	Key    []string     `yaml:"key"`
	Within string       `yaml:"within"`
	Title  string       `yaml:"title"`
}

type listFile struct {
	List  string     `yaml:"list"`
	Items []itemFile `yaml:"items"`
	Title string     `yaml:"title"`
}

type itemFile struct {
	On    []string `yaml:"on"`
	When  string   `yaml:"when"`
	Value string   `yaml:"value"`
}

type metricFile struct {
	Name      string `yaml:"name"`
	Threshold string `yaml:"threshold"`
	Limit     string `yaml:"limit"`
	Minimum   string `yaml:"minimum"`
	Title     string `yaml:"title"`
}

type recordFile struct {
	Of     string `yaml:"of"`
	Within string `yaml:"within"`
	Title  string `yaml:"title"`
}

type capabilityFile struct {
	Title string `yaml:"title"`
}
