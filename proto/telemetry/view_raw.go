package telemetry

// Field numbers of Raw.
const (
	rawProvider = 1
	rawEventID  = 4
	rawKeywords = 10
	rawChannel  = 11
	rawComputer = 12
	rawData     = 20
	rawUserData = 21
)

// maxElementDepth bounds the nesting of UserData, as protobuf's own reader does.
const maxElementDepth = 9_990

func (r *RawView) parse(data string) bool {
	r.data = data
	var seen uint32
	for w := (wire{rest: data}); ; {
		if !w.next() {
			return !w.failed
		}
		if w.field > rawUserData {
			return false
		}
		if seen&(1<<w.field) != 0 && w.field != rawData {
			return false
		}
		seen |= 1 << w.field
		if !r.field(&w) || w.failed {
			return false
		}
	}
}

func (r *RawView) field(w *wire) bool {
	switch w.field {
	case rawProvider:
		r.Provider = w.text()
	case rawEventID:
		r.EventID = uint32(w.varintValue())
	case rawKeywords:
		r.Keywords = w.fixedValue()
	case rawChannel:
		r.Channel = w.text()
	case rawComputer:
		r.Computer = w.text()
	case 2, 3, 13, 14, 15, 19:
		w.text()
	case 5, 6, 7, 8, 9, 16, 17, 18:
		w.varintValue()
	case rawData:
		return checkField(w.message())
	case rawUserData:
		return checkElement(w.message(), maxElementDepth)
	default:
		return false
	}
	return true
}

// checkField checks a Field.
func checkField(data string) bool {
	if name, value, ok := plainPair(data); ok {
		return validText(name) && validText(value)
	}
	w := wire{rest: data}
	for w.next() {
		if w.field != 1 && w.field != 2 {
			return false
		}
		w.text()
	}
	return !w.failed
}

// checkElement checks an Element. Names and texts may come once only.
func checkElement(data string, depth int) bool {
	if depth == 0 {
		return false
	}
	w := wire{rest: data}
	var seen [5]bool
	for w.next() {
		switch w.field {
		case 1, 3:
			if seen[w.field] {
				return false
			}
			seen[w.field] = true
			w.text()
		case 2:
			if !checkField(w.message()) {
				return false
			}
		case 4:
			if !checkElement(w.message(), depth-1) {
				return false
			}
		default:
			return false
		}
	}
	return !w.failed
}

// Fields yields EventData in order, then the leaves of UserData and the
// attributes of its elements, until yield returns false.
func (r *RawView) Fields(yield func(name, value string) bool) {
	userData, has := "", false
	for w := (wire{rest: r.data}); w.next(); {
		switch w.field {
		case rawData:
			if name, value := fieldOf(w.bytes); !yield(name, value) {
				return
			}
		case rawUserData:
			userData, has = w.bytes, true
		}
	}
	if has {
		yieldLeaves(userData, yield)
	}
}

// Tags of the texts of a Field.
const (
	tagName  = 1<<3 | wireBytes
	tagValue = 2<<3 | wireBytes
)

// plainPair reads a Field as nearly all are written: a name and then a value, with
// lengths of a byte, or of two for the value. Its texts are not checked.
func plainPair(data string) (name, value string, ok bool) {
	if len(data) < 4 || data[0] != tagName || data[1] >= 0x80 {
		return "", "", false
	}
	end := 2 + int(data[1])
	if len(data) < end+2 || data[end] != tagValue {
		return "", "", false
	}
	name, data = data[2:end], data[end+1:]
	size, head := int(data[0]), 1
	if size >= 0x80 {
		if len(data) < 2 || data[1] >= 0x80 {
			return "", "", false
		}
		size, head = size&0x7f|int(data[1])<<7, 2
	}
	if len(data) != head+size {
		return "", "", false
	}
	return name, data[head:], true
}

func fieldOf(data string) (name, value string) {
	if name, value, ok := plainPair(data); ok {
		return name, value
	}
	for w := (wire{rest: data}); w.next(); {
		if w.field == 1 {
			name = w.bytes
		} else {
			value = w.bytes
		}
	}
	return name, value
}

func yieldLeaves(element string, yield func(name, value string) bool) bool {
	name, text, children := "", "", false
	for w := (wire{rest: element}); w.next(); {
		switch w.field {
		case 1:
			name = w.bytes
		case 2:
			if attribute, value := fieldOf(w.bytes); !yield(attribute, value) {
				return false
			}
		case 3:
			text = w.bytes
		case 4:
			children = true
		}
	}
	if !children {
		return yield(name, text)
	}
	for w := (wire{rest: element}); w.next(); {
		if w.field == 4 && !yieldLeaves(w.bytes, yield) {
			return false
		}
	}
	return true
}

// Text returns a text of the record's header by its field number, Number one of
// the numbers; what the record does not say is "" and 0.
func (r *RawView) Text(field uint64) string {
	for w := (wire{rest: r.data}); w.next(); {
		if w.field == field && w.kind == wireBytes {
			return w.bytes
		}
	}
	return ""
}

// Number is described at Text.
func (r *RawView) Number(field uint64) uint64 {
	for w := (wire{rest: r.data}); w.next(); {
		if w.field == field && w.kind != wireBytes {
			return w.number
		}
	}
	return 0
}
