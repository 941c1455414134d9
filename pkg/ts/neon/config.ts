// neonConfig: settings of `neon()` that hold for the whole program.

/** What an endpoint function is told beside host and port. */
export interface FetchEndpointOptions {
  /** Whether a token stands in for the password. */
  jwtAuth?: boolean;
}

/** A WebSocket as the Pool of `@neondatabase/serverless` takes it. */
export interface WebSocketLike {
  readonly readyState: number;
  binaryType: string;
  close(code?: number, reason?: string): void;
  send(data: any): void;
  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (this: WebSocketLike, ev: any) => any,
    options?: any,
  ): void;
}

/** The class of such WebSockets. */
export interface WebSocketConstructor {
  new (...args: any[]): WebSocketLike;
}

/** All settings. Only the first three have a meaning over HTTP; the others are kept and not looked at. */
export interface NeonConfig {
  /** Where queries go: an URL, or a function of the connection string's host and port. Default: {@link endpointOf}. */
  fetchEndpoint: string | ((host: string, port: number | string, options?: FetchEndpointOptions) => string);
  /** The `fetch` to use. Default: the global one, looked up for each request. */
  fetchFunction: any;
  /** `true`: no warning about SQL in browsers. Default: `false`. */
  disableWarningInBrowsers: boolean;

  fetchConnectionCache: boolean;
  poolQueryViaFetch: boolean;
  webSocketConstructor: WebSocketConstructor | undefined;
  wsProxy: string | ((host: string, port: number | string) => string);
  useSecureWebSocket: boolean;
  forceDisablePgSSL: boolean;
  coalesceWrites: boolean;
  pipelineConnect: "password" | false;
  subtls: any;
  rootCerts: string;
  pipelineTLS: boolean;
  disableSNI: boolean;
}

/** Neon's rule: `ep-one.region.aws.neon.tech` is asked at `https://api.region.aws.neon.tech/sql`. */
export function endpointOf(host: string, _port?: number | string, options?: FetchEndpointOptions): string {
  return `https://${host.replace(/^[^.]+\./, options?.jwtAuth ? "apiauth." : "api.")}/sql`;
}

const defaults: NeonConfig = {
  poolQueryViaFetch: false,
  fetchEndpoint: endpointOf,
  fetchConnectionCache: true,
  fetchFunction: undefined,
  webSocketConstructor: undefined,
  wsProxy: (host) => `${host}/v2`,
  useSecureWebSocket: true,
  forceDisablePgSSL: true,
  coalesceWrites: true,
  pipelineConnect: "password",
  subtls: undefined,
  rootCerts: "",
  pipelineTLS: false,
  disableSNI: false,
  disableWarningInBrowsers: false,
};

/** The settings. One that is set to undefined has its default again. */
export const neonConfig: NeonConfig & { defaults: NeonConfig; opts: Partial<NeonConfig> } =
  /* @__PURE__ */ withDefaults(defaults, {});

function withDefaults(
  defaults: NeonConfig,
  opts: Partial<NeonConfig>,
): NeonConfig & { defaults: NeonConfig; opts: Partial<NeonConfig> } {
  const config = { defaults, opts };
  for (const name of Object.keys(defaults) as (keyof NeonConfig)[]) {
    Object.defineProperty(config, name, {
      get: () => opts[name] ?? defaults[name],
      set: (value) => {
        opts[name] = value as never;
      },
      enumerable: true,
    });
  }
  return config as typeof neonConfig;
}

/** Warns in browsers: who can send SQL from a page can send any SQL. */
export function warnIfBrowser(): void {
  if (typeof window !== "undefined" && typeof document !== "undefined" && typeof console !== "undefined")
    console.warn(
      "SQL is run directly from the browser: whoever opens this page can run any statement that its role may run. If row-level security and the role's rights allow for that, set disableWarningInBrowsers.",
    );
}
