import { Menu, useMantineColorScheme } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { sessionApi } from "../../lib/api";
import { visibleText } from "../../lib/visible";
import { Icon } from "../../ui/Icon";
import { sessionQuery } from "../session/queries";
import css from "./shell.module.css";

const schemes = [
  ["auto", "As the system", "system"],
  ["light", "Light", "sun"],
  ["dark", "Dark", "moon"],
] as const;

/** UserMenu says who is signed in, chooses the theme and signs out. */
export function UserMenu() {
  const session = useQuery(sessionQuery).data;
  const client = useQueryClient();
  const navigate = useNavigate();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const signOut = useMutation({
    mutationFn: () => sessionApi.signOut({}),
    onSettled: () => {
      client.clear();
      client.setQueryData(sessionQuery.queryKey, null);
      void navigate({ to: "/sign-in", search: {} });
    },
  });
  const user = visibleText(session?.user ?? "");
  return (
    <Menu position="bottom-end" withinPortal width={210}>
      <Menu.Target>
        <button type="button" className={css.tool} aria-label={`Account: ${user}`}>
          <Icon name="user" size={14} />
          <span className={css.wide}>{user}</span>
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label c="var(--ink-dim)">
          {user}, {session?.role === "admin" ? "administrator" : session?.role}
        </Menu.Label>
        <Menu.Divider />
        <Menu.Label c="var(--ink-dim)">Appearance</Menu.Label>
        {schemes.map(([value, name, icon]) => (
          <Menu.Item key={value} leftSection={<Icon name={icon} size={14} />} rightSection={colorScheme === value ? <Icon name="done" size={14} /> : null} onClick={() => setColorScheme(value)}>
            {name}
            {colorScheme === value ? <span className="sr"> (chosen)</span> : null}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item onClick={() => signOut.mutate()}>Sign out</Menu.Item>
        <Menu.Divider />
        <Menu.Label c="var(--ink-dim)">Server {visibleText(session?.serverVersion ?? "")}</Menu.Label>
      </Menu.Dropdown>
    </Menu>
  );
}
