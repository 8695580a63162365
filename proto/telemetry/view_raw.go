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

func fieldOf(data string) (name, value string) {
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
