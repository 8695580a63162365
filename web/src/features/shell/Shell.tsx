import { useDisclosure } from "@mantine/hooks";
import { Link, Outlet, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useEffect } from "react";
import { Side } from "../../ui/Dialog";
import { Icon, Logo } from "../../ui/Icon";
import { AsOfControl } from "./AsOfControl";
import { Nav } from "./Nav";
import { PastBanner } from "./PastBanner";
import css from "./shell.module.css";
import { useShortcuts } from "./useShortcuts";
import { UserMenu } from "./UserMenu";

const loadPalette = () => import("../palette/Palette");
const Palette = lazy(() => loadPalette().then((module) => ({ default: module.Palette })));
const EventDrawer = lazy(() => import("../event/EventDrawer").then((module) => ({ default: module.EventDrawer })));

/** Shell is what stands around every page: header, menu, palette, event drawer. */
export function Shell() {
  const [menu, { open: openMenu, close: closeMenu }] = useDisclosure(false);
  const [palette, { open: openPalette, close: closePalette }] = useDisclosure(false);
  const { event } = useSearch({ strict: false });
  useShortcuts(openPalette);
  useEffect(() => {
    // Typing goes on right after Ctrl-K: its code must not be on the way then.
    const idle = setTimeout(() => void loadPalette(), 1500);
    return () => clearTimeout(idle);
  }, []);
  return (
    <div className={css.shell}>
      <a href="#main" className={css.skip}>
        Skip to the content
      </a>
      <header className={css.head}>
        <button type="button" className={`${css.tool} ${css.burger}`} onClick={openMenu} aria-label="Pages">
          <Icon name="menu" />
        </button>
        <Link to="/overview" className={css.brand} aria-label="Assay, overview">
          <Logo />
          <span className={css.wide}>Assay</span>
        </Link>
        <span className={css.grow} />
        <button type="button" className={css.tool} onClick={openPalette} aria-label="Find a host, a control or a page" aria-keyshortcuts="Control+K">
          <Icon name="search" size={14} />
          <span className={`${css.wide} ${css.find}`}>Find</span>
        </button>
        <AsOfControl />
        <UserMenu />
      </header>
      <PastBanner />
      <div className={css.side}>
        <Nav />
      </div>
      <main id="main" className={css.main} tabIndex={-1}>
        <Outlet />
      </main>
      <Side opened={menu} onClose={closeMenu} title="Pages" size={240} position="left" close="Close the menu">
        <Nav onGo={closeMenu} />
      </Side>
      <Suspense fallback={null}>
        {palette ? <Palette onClose={closePalette} /> : null}
        {event === undefined ? null : <EventDrawer name={event} />}
      </Suspense>
    </div>
  );
}
