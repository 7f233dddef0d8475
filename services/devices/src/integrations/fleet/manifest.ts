import type { Manifest } from '../manifest.js'

/** Its devices come and go with the machines of the scheduler, so nobody adds or deletes them here. */
export const manifest: Manifest = {
  id: 'fleet',
  name: 'Fleet',
  description: 'The machines of the fleet, as the scheduler knows them',
  picture:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#7b4efa" stroke-width="3" stroke-linecap="round"><path d="M5 6h22v8H5zM5 18h22v8H5zM10 10h0M10 22h0"/></svg>',
  entities: []
}
