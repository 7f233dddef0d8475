import { AppError, Type } from '@fleetgate/contracts'

/** Path parameter `:node`. */
export const nodeParam = { node: Type.String({ maxLength: 128 }) }
/** Path parameter `:clientid`. */
export const clientParam = { clientid: Type.String({ maxLength: 1024 }) }

/** The original answers an unknown node as it answers an unknown address. */
export function checkNode(known: string, asked: string): string {
  if (asked !== known) throw new AppError('unknown_route', `node ${asked} does not exist`)
  return known
}
