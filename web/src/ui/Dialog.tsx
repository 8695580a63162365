import { Drawer, Modal } from "@mantine/core";
import type { ReactNode } from "react";
import css from "./dialog.module.css";

interface DialogProps {
  readonly title: ReactNode;
  readonly onClose: () => void;
  readonly size?: number | string;
  /** keep makes a click beside the dialog leave it open. */
  readonly keep?: boolean;
  readonly children: ReactNode;
}

// Mantine's own headers are landmarks; a page has one banner only, so the title
// and the close button stand in the body here.

/** Dialog is a question in the middle of the page. */
export function Dialog({ title, onClose, size = "md", keep = false, children }: DialogProps) {
  return (
    <Modal.Root opened onClose={onClose} size={size} centered closeOnClickOutside={!keep}>
      <Modal.Overlay backgroundOpacity={0.45} />
      <Modal.Content>
        <Modal.Body className={css.body}>
          <div className={css.head}>
            <Modal.Title className={css.title}>{title}</Modal.Title>
            <Modal.CloseButton aria-label="Close this dialog" />
          </div>
          {children}
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

interface SideProps {
  readonly title: ReactNode;
  readonly opened?: boolean;
  readonly onClose: () => void;
  readonly size: number;
  readonly position: "left" | "right";
  readonly close: string;
  readonly children: ReactNode;
}

/** Side is a panel over one side of the page. */
export function Side({ title, opened = true, onClose, size, position, close, children }: SideProps) {
  return (
    <Drawer.Root opened={opened} onClose={onClose} size={size} position={position}>
      <Drawer.Overlay backgroundOpacity={0.35} />
      <Drawer.Content>
        <Drawer.Body className={css.body}>
          <div className={css.head}>
            <Drawer.Title className={css.title}>{title}</Drawer.Title>
            <Drawer.CloseButton aria-label={close} />
          </div>
          {children}
        </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}
