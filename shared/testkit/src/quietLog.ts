import type { Log } from '@fleetgate/contracts'

const say = () => {}

/** A log that says nothing. */
export const quietLog: Log = { debug: say, info: say, warn: say, error: say }
