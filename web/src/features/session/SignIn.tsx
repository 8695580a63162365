import { Code } from "@connectrpc/connect";
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { useEffect, type SyntheticEvent } from "react";
import { sessionApi } from "../../lib/api";
import { describeFault, isCode } from "../../lib/fault";
import { localPath } from "../../lib/search";
import { Logo } from "../../ui/Icon";
import { sessionQuery } from "./queries";
import css from "./signin.module.css";

const route = getRouteApi("/sign-in");

/** SignIn asks for a name and a password and goes back to where one was. */
export function SignIn() {
  const { to } = route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  useEffect(() => {
    document.title = "Sign in – Assay";
  }, []);

  const signIn = useMutation({
    mutationFn: (fields: { name: string; password: string }) => sessionApi.signIn(fields),
    onSuccess: (answer) => {
      client.clear();
      client.setQueryData(sessionQuery.queryKey, answer.session ?? null);
      router.history.push(localPath(to) ?? "/overview");
    },
  });

  const onSubmit = (event: SyntheticEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    signIn.mutate({ name: textField(fields, "name"), password: textField(fields, "password") });
  };

  return (
    <main className={css.page}>
      <div className={css.card}>
        <div className={css.brand}>
          <Logo size={40} />
          <div>
            <h1 className={css.name}>Assay</h1>
            <p className="dim">Evidence from Windows endpoints</p>
          </div>
        </div>
        <form className={css.form} onSubmit={onSubmit}>
          <TextInput size="sm" label="Name" name="name" autoComplete="username" required withAsterisk={false} autoFocus maxLength={200} />
          <PasswordInput
            label="Password"
            name="password"
            autoComplete="current-password"
            required
            withAsterisk={false}
            maxLength={1000}
            visibilityToggleButtonProps={{ "aria-label": "Show the password" }}
          />
          {signIn.isError ? (
            <p role="alert" className={css.bad}>
              {reason(signIn.error)}
            </p>
          ) : null}
          <Button type="submit" size="sm" loading={signIn.isPending}>
            Sign in
          </Button>
        </form>
      </div>
    </main>
  );
}

function textField(fields: FormData, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" ? value : "";
}

function reason(error: Error): string {
  if (isCode(error, Code.Unauthenticated)) return "Name or password is wrong.";
  const fault = describeFault(error);
  return `${fault.title}. ${fault.advice}`;
}
