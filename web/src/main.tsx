import "@mantine/core/styles.css";
import "./tokens.css";
import "./mantine.css";
import "./app.css";
import { Code } from "@connectrpc/connect";
import { MantineProvider } from "@mantine/core";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { sessionQuery } from "./features/session/queries";
import { isCode, worthRetrying } from "./lib/fault";
import { newRouter } from "./routes/router";
import { theme } from "./theme";

// A session that ended leads to the sign-in page, and back from there.
function onError(error: Error): void {
  if (!isCode(error, Code.Unauthenticated) || router.state.location.pathname === "/sign-in") return;
  client.setQueryData(sessionQuery.queryKey, null);
  void router.navigate({ to: "/sign-in", search: { to: router.state.location.href } });
}

const client = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({
    onError: (error) => {
      onError(error);
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 20_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 2 && worthRetrying(error),
      retryDelay: (failures) => 400 * 2 ** failures,
    },
  },
});

const router = newRouter(client);

const place = document.getElementById("root");
if (place === null) throw new Error("index.html has no #root");
createRoot(place).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
