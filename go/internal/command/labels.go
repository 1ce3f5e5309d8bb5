package command

import "strings"

// labelWidth leaves 64 columns of 80 for a value: a SHA-256 in hexadecimal.
const labelWidth = 15

// labelled prints a value behind its name; a long one goes on below, as wide as the terminal.
func (o *output) labelled(label, value string) {
	if value == "" {
		return
	}
	for _, part := range wrapped(value, widthOf(o.out)-labelWidth) {
		o.line("%-*s%s", labelWidth, label, part)
		label = ""
	}
}

// wrapped breaks a text between words, where there is one to break. A width of 0 or less is any.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && width > 0 && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
