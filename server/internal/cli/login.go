package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/term"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type loginCmd struct {
	Server       string `help:"Address of the console, https://HOST:PORT." required:"" placeholder:"URL"`
	User         string `help:"Name of the user." required:"" placeholder:"NAME"`
	CA           string `help:"PEM file with the CA of the server's certificate; without it the system's trust is used." type:"existingfile" placeholder:"FILE"`
	PasswordFile string `help:"File that holds the password; otherwise it is asked for, or read from standard input." type:"existingfile" placeholder:"FILE"`
}

const maxPasswordInput = 4096

// Run signs in and keeps the session.
func (c *loginCmd) Run(e *env) error {
	address, err := url.Parse(c.Server)
	if err != nil || address.Scheme != "https" || address.Host == "" {
		return fmt.Errorf("%q is no console address: write https://HOST:PORT", c.Server)
	}
	server := "https://" + address.Host
	var ca []byte
	if c.CA != "" {
		if ca, err = os.ReadFile(c.CA); err != nil {
			return fmt.Errorf("reading the CA file: %w", err)
		}
	}
	password, err := c.password(e)
	if err != nil {
		return err
	}
	signed, token, err := signIn(e.ctx, server, string(ca), c.User, password)
	if err != nil {
		return err
	}
	if err := e.saveSession(session{Server: server, CA: string(ca), Token: token, User: signed.GetUser()}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Signed in to %s as %s (%s) until %s.\n", server, signed.GetUser(), signed.GetRole(),
		signed.GetExpiresAt().AsTime().Format("2006-01-02 15:04 UTC"))
	return err
}

func signIn(ctx context.Context, server, ca, user, password string) (*consolev1.Session, string, error) {
	client, err := NewClient(server, ca, "")
	if err != nil {
		return nil, "", err
	}
	res, err := client.Session.SignIn(ctx, connect.NewRequest(&consolev1.SignInRequest{Name: user, Password: password, Bearer: true}))
	if err != nil {
		return nil, "", err
	}
	return res.Msg.GetSession(), res.Msg.GetToken(), nil
}

// SignIn returns clients that are signed in to server (https://HOST:PORT).
func SignIn(ctx context.Context, server, ca, user, password string) (*Client, error) {
	_, token, err := signIn(ctx, server, ca, user, password)
	if err != nil {
		return nil, err
	}
	return NewClient(server, ca, token)
}

func (c *loginCmd) password(e *env) (string, error) {
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("reading the password file: %w", err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	if file, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(e.stderr, "Password: ")
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return string(text), nil
	}
	line, err := bufio.NewReader(io.LimitReader(e.stdin, maxPasswordInput)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type logoutCmd struct{}

// Run ends the session on the server and forgets it.
func (logoutCmd) Run(e *env) error {
	name, err := e.configFile()
	if err != nil || !fileExists(name) {
		return err
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	if _, err := client.Session.SignOut(e.ctx, connect.NewRequest(&consolev1.SignOutRequest{})); err != nil && connect.CodeOf(err) != connect.CodeUnauthenticated {
		return err
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("removing the session file: %w", err)
	}
	return nil
}
