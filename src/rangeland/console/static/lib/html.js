// The few names of the vendored libraries that pages use, in one place.

export { html } from "htm/preact";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal } from "@preact/signals";
