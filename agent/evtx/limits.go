package evtx

// What the container's fixed layout says. See [MS-EVEN6] for the BinXML part.
const (
	fileHeaderSize  = 4096
	chunkSize       = 64 << 10
	chunkHeaderSize = 512
	// recordHeaderSize is signature, size, number and write time; the size is
	// repeated in the last four bytes of a record.
	recordHeaderSize = 24
	minRecordSize    = recordHeaderSize + 4
)

// The bounds on what one chunk may cost. A genuine chunk stays far below each:
// the largest of the sample logs expands to 0.4 MiB of text in 17,000 steps.
const (
	// maxElementDepth bounds the nesting of elements inside one fragment.
	maxElementDepth = 64
	// maxFragmentDepth bounds the nesting of BinXML values inside BinXML values.
	maxFragmentDepth = 16
	// maxValues bounds the substitution values of one template instance. Each
	// takes four bytes of descriptor in a chunk, so this is only a sanity limit.
	maxValues = 4096
	// maxNameLength bounds an element's or attribute's name, in characters: names
	// are stored once and referred to, so a long one could be repeated at will.
	maxNameLength = 1024
	// maxRecordFields bounds the fields, elements and attributes of one record.
	maxRecordFields = 64 << 10
	// maxRecordText bounds the UTF-8 text of one record. A record holds less
	// than 64 KiB, which is at most 192 KiB of text unless its template repeats
	// a value.
	maxRecordText = 1 << 20
	// maxChunkText and maxChunkSteps bound the sum over all records of a chunk,
	// so that a chunk of repeating templates costs milliseconds, not minutes. A
	// step is one template item, one value or one field.
	maxChunkText  = 8 << 20
	maxChunkSteps = 2 << 20
	// maxChunkTemplateBytes bounds what is compiled for one chunk. Definitions
	// do not overlap in a genuine chunk, so they cannot exceed its size.
	maxChunkTemplateBytes = 4 * chunkSize
	// maxInterned bounds the table of strings that records share (channel,
	// computer, provider), and maxInternedLength the length of one.
	maxInterned       = 1024
	maxInternedLength = 256
	// maxProblems bounds the list of problems; the last one then says how many
	// were left off.
	maxProblems = 10_000
)
