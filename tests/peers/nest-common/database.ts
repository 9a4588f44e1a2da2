import { DataSource, type DataSourceOptions, type MixedList } from 'typeorm';
import { variable } from './environment';

type Entities = MixedList<Function>;

/** TypeORM on the database of `DATABASE_URL`, with `DATABASE_POOL` connections: 10, node-postgres's own default, unless set. */
export function database(entities: Entities): DataSourceOptions {
  return {
    type: 'postgres',
    url: variable('DATABASE_URL'),
    poolSize: Number(variable('DATABASE_POOL', '10')),
    entities: entities as Function[],
  };
}

/** Makes the tables that are not there. Processes that start together do so one after the other. */
export async function createTables(entities: Entities): Promise<void> {
  const source = await new DataSource(database(entities)).initialize();
  const lock = source.createQueryRunner();
  await lock.query('SELECT pg_advisory_lock(4711)');
  await source.synchronize();
  await lock.query('SELECT pg_advisory_unlock(4711)');
  await lock.release();
  await source.destroy();
}
