package node

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	maxLine               = 16 << 10 // longer lines are split, as container runtimes do
	terminationLogLines   = 80
	terminationLogBytes   = 2048
	terminationLogReadEnd = 64 << 10
)

// logWriter writes the lines of one run of a container in the format of the container runtimes,
// so that the kubelet's own reader can serve them.
type logWriter struct {
	mutex sync.Mutex
	file  *os.File
}

func openLog(path string) (*logWriter, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &logWriter{file: file}, nil
}

func (l *logWriter) line(stream, tag, text string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	fmt.Fprintf(l.file, "%s %s %s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z"), stream, tag, text)
}

// copy writes everything that from says, line by line, until it ends.
func (l *logWriter) copy(stream string, from io.Reader) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		text, prefix, err := reader.ReadLine()
		if err != nil {
			return
		}
		tag := "F"
		if prefix {
			tag = "P"
		}
		l.line(stream, tag, string(text))
	}
}

func (l *logWriter) close() { l.file.Close() }

// lastOutput is what terminationMessagePolicy FallbackToLogsOnError takes of a log: the last 80 lines, at most 2 KiB.
func lastOutput(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > terminationLogReadEnd {
		_, _ = file.Seek(-terminationLogReadEnd, io.SeekEnd)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	var text []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.SplitN(line, " ", 4); len(fields) == 4 {
			text = append(text, fields[3])
		}
	}
	result := strings.Join(text[max(0, len(text)-terminationLogLines):], "")
	return result[max(0, len(result)-terminationLogBytes):]
}
