package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a child that runs until it is stopped, or the benchmark ends, however that ends.
type process struct {
	command *exec.Cmd
	log     string // path of what it printed
	ended   chan struct{}
}

// startProcess starts a program that logs into the folder; what it prints goes to output if that is not nil.
func startProcess(ctx context.Context, folder, program string, output *os.File, arguments ...string) (*process, error) {
	log, err := os.CreateTemp(folder, filepath.Base(program)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, program, arguments...)
	command.Env = append(os.Environ(), "HOME="+folder, "XDG_CONFIG_HOME="+folder, "XDG_DATA_HOME="+folder)
	command.Dir = folder
	command.Stdout, command.Stderr = log, log
	if output != nil {
		command.Stdout = output
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	if err := command.Start(); err != nil {
		return nil, err
	}
	process := &process{command: command, log: log.Name(), ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended shows in its log, and in what it didn't do
		close(process.ended)
	}()
	return process, nil
}

// stop ends the process, by force if it doesn't end by itself, and waits for that.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM) // has it ended already, the channel is closed
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// cpu is the time that all threads of the process, past ones too, have spent in user and in system mode. The
// same account as in /proc/PID/stat, but in nanoseconds rather than in ticks of 10 ms.
func (p *process) cpu() (time.Duration, error) {
	// The kernel's encoding of another process's CPU clock: see clock_getcpuclockid(3).
	const cpuClockSched = 2
	var now unix.Timespec
	clock := int32(^p.command.Process.Pid)<<3 | cpuClockSched // #nosec G115 -- a pid has 22 bits
	if err := unix.ClockGettime(clock, &now); err != nil {
		return 0, fmt.Errorf("the CPU clock of %s: %w", p.command.Path, err)
	}
	return time.Duration(now.Nano()), nil
}

// residentBytes is the memory the process holds now.
func (p *process) residentBytes() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("no VmRSS in the status of " + p.command.Path)
}

// failure adds to an error what the process logged last.
func (p *process) failure(err error) error {
	text, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return fmt.Errorf("%w; its log ends with:\n%s", err, bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// firstLine reads the line with which a child says that it is ready.
func firstLine(reader *os.File, ended <-chan struct{}) (string, error) {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(reader).ReadString('\n')
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ended:
	case <-time.After(3 * time.Minute):
	}
	return "", errors.New("the process did not become ready")
}
