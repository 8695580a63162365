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
// the dearest one known takes 70 KiB of text and 68,000 steps.
const (
	// maxElementDepth bounds the nesting of elements inside one fragment.
	maxElementDepth = 64
	// maxFragmentDepth bounds the nesting of BinXML values inside BinXML values.
	maxFragmentDepth = 16
	// maxValues bounds the substitution values of one template instance. Each
	// takes four bytes of descriptor in a chunk, so this is only a sanity limit.
	maxValues = 4096
	// maxChunkNames bounds the names decoded for one chunk, in bytes of UTF-16.
	// Names do not overlap in a genuine chunk, so they cannot exceed its size.
	maxChunkNames = 4 * chunkSize
	// maxRecordFields bounds the fields, elements and attributes of one record.
	maxRecordFields = 64 << 10
	// maxRecordText bounds the UTF-8 text of one record. A record holds less
	// than 64 KiB, which is at most 192 KiB of text unless its template repeats
	// a value.
	maxRecordText = 1 << 20
	// maxChunkText and maxChunkSteps bound the sum over all records of a chunk,
	// so that a chunk of repeating templates costs milliseconds, not minutes. A
	// step is one piece of a template, one value, one field, or one byte of BinXML
	// that no template holds.
	maxChunkText  = 8 << 20
	maxChunkSteps = 1 << 19
	// maxChunkTemplateBytes bounds what is compiled for one chunk. Definitions
	// do not overlap in a genuine chunk, so they cannot exceed its size.
	maxChunkTemplateBytes = 4 * chunkSize
	// maxInterned bounds the table of strings that records share (channel,
	// computer, provider), and maxInternedLength the length of one.
	maxInterned       = 1024
	maxInternedLength = 256
	// maxProblems bounds the list of problems unless Options says otherwise.
	maxProblems = 10_000
)
