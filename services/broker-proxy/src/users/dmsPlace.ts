import { AppError, type Static, Type } from '@fleetgate/contracts'
import type { Caller } from '@fleetgate/kit'

/** The one instance of a project; the project is the caller's tenant. */
export const instanceId = 'default'

export const dmsProject = { project: Type.String({ maxLength: 64 }) }
export const dmsPlace = { ...dmsProject, instance: Type.String({ maxLength: 64 }) }

const OfProject = Type.Object(dmsProject)
const OfInstance = Type.Object(dmsPlace)

export function projectOf({ project }: Static<typeof OfProject>, caller: Caller): string {
  if (project !== caller.tenantId) {
    throw new AppError('unauthenticated', 'the token does not belong to this project', {
      wireStatus: 401,
      wireCode: 'DMS.10240104'
    })
  }
  return caller.tenantId
}

/** The tenant of a path that names project and instance. */
export function tenantOf(place: Static<typeof OfInstance>, caller: Caller): string {
  const tenantId = projectOf(place, caller)
  if (place.instance !== instanceId) {
    throw new AppError('not_found', 'the instance does not exist', { wireStatus: 404, wireCode: 'DMS.00404022' })
  }
  return tenantId
}
