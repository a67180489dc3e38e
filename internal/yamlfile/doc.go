// Package yamlfile reads Pawl's YAML files strictly, and says everything that is wrong with one at
// once: where, what, and how to mend it.
//
// YAML has more than a file that guards something should use. Refused are duplicate keys, unknown
// fields, wrong types, anchors and aliases, merge keys, tags, several documents in one file, keys
// that are not text, nesting beyond MaxDepth, files over MaxSize or of more than MaxValues values,
// and characters that make a file look like something else than it is. Nothing is converted
// silently: yes, on and 12:30 are text, as in YAML 1.2.
//
// A reader takes a file apart with Value and Mapping. Their methods note problems in one Problems
// and return what they can, so reading goes on to the next field:
//
//	var problems yamlfile.Problems
//	file := yamlfile.Parse(name, data, &problems).Mapping()
//	title, _ := file.Need("title").Text()
//	wait, _ := file.Field("wait").Duration(time.Hour)
//	file.Done() // everything not asked for is an unknown field
//	if err := problems.Err(); err != nil {
//		return err // and use nothing that was read
//	}
//
// Values are for one goroutine.
package yamlfile

// Limits of a file.
const (
	MaxSize   = 4 << 20 // bytes
	MaxDepth  = 64      // mappings and lists inside each other
	MaxValues = 500_000 // keys and values; each takes some 200 bytes of memory
)
