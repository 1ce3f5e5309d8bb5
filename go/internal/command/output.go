package command

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term" // tells a terminal from a file, and how wide it is
)

// output is where answers go: text for people, or the API's own JSON.
type output struct {
	out, notes io.Writer // standard output and standard error
	json       bool
	err        error // the first that writing met: an answer that nobody got is none
}

// line prints one line.
func (o *output) line(format string, arguments ...any) {
	o.write([]byte(printable(fmt.Sprintf(format, arguments...))))
}

// document prints JSON as it came, on one line.
func (o *output) document(document []byte) error {
	clean, err := printableJSON(document)
	if err != nil {
		return err
	}
	o.write(clean)
	return nil
}

func (o *output) write(line []byte) {
	if _, err := o.out.Write(append(line, '\n')); err != nil && o.err == nil {
		o.err = fmt.Errorf("the answer could not be written: %w", err)
	}
}

// note says to people what is no part of the answer.
func (o *output) note(format string, arguments ...any) {
	fmt.Fprintln(o.notes, printable(fmt.Sprintf(format, arguments...)))
}

// isTerminal reports whether somebody sits at the other end.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// widthOf is how many columns lines may have; 0 is any number.
func widthOf(stream any) int {
	if !isTerminal(stream) {
		return 0
	}
	width, _, err := term.GetSize(int(stream.(*os.File).Fd()))
	if err != nil {
		return 80
	}
	return width
}
